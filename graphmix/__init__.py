"""graphmix: music mixing as graphs."""
