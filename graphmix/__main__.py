"""``python -m graphmix``."""

from graphmix.cli import main

if __name__ == "__main__":
    main()
