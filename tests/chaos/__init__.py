"""Everything goes wrong at once, by seeded dice, until every row is accounted for."""
