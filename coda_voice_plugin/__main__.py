"""``python -m coda_voice_plugin`` is ``coda-voice``."""

from .cli import main

if __name__ == "__main__":
    main()
