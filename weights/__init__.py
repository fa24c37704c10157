"""The model files that ship with tinycnn; what each is worth stands in README.md beside it."""

from pathlib import Path

FOLDER = Path(__file__).parent
DEFAULT = "mobilenetv2-phantoms"


def names() -> list[str]:
    """Names of the shipped models, as ``--weights`` takes them."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def find(name_or_path: str) -> Path:
    """Path of a shipped model by its name; anything else is taken for a path."""
    return FOLDER / f"{name_or_path}.safetensors" if name_or_path in names() else Path(name_or_path)
