"""Flags of the programs: how they are parsed and checked."""
