"""Sessions of digital audio workstations."""
