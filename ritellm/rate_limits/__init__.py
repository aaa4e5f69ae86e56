"""How fast requests are sent: a pure half that decides (`pace`), and one that waits (`gate`)."""
