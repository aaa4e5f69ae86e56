"""The flags of the programs by subject: how they are added, parsed and checked."""
