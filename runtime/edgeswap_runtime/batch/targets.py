"""List target pictures, from files, folders, glob patterns and Parquet tables, and name outputs."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from edgeswap_runtime.errors import InvalidRequest, PictureMissing
from edgeswap_runtime.files import is_clutter
from edgeswap_runtime.pictures.formats import SUFFIXES
from edgeswap_runtime.pictures.write import WRITABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MAX_PICTURES = 10_000_000
"""Most pictures of one batch."""
_COLUMNS = ("target", "source", "out")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPicture:
    """One picture to swap.

    Attributes:
        target: the picture's path.
        name: where the result goes, relative to the batch's folder; ends in a writable suffix.
        source: photo or identity file for this picture alone; None for the batch's own.
    """

    target: Path
    name: PurePosixPath
    source: Path | None = None


def is_many(words: Sequence[str | Path]) -> bool:
    """Return whether targets name several pictures: more than one, a folder or a pattern."""
    return len(words) > 1 or any(Path(word).is_dir() or _is_pattern(word) for word in words)


def list_pictures(
    words: Sequence[str | Path], *, out: Path, suffix: str | None = None
) -> tuple[BatchPicture, ...]:
    """List the pictures that files, folders and patterns name.

    Args:
        words: files, folders (searched with all folders inside) and glob patterns such as
            "photos/*.jpg"; an existing file is taken as it is, whatever its name.
        out: the batch's folder; pictures inside it are left out.
        suffix: of every output, such as ".png"; None keeps a writable suffix and takes .png instead
            of others.

    Returns:
        the pictures, in the order of the words and sorted within each; each file once.

    Raises:
        PictureMissing: a file is not there.
        InvalidRequest: a folder or pattern has no picture, or two would get one output.
    """
    found: dict[Path, BatchPicture] = {}
    inside = out.absolute()
    for word in words:
        count = 0
        for path, name in _expand(word):
            if inside in path.absolute().parents:
                continue
            count += 1
            if path not in found:
                found[path] = BatchPicture(target=path, name=_output(name, suffix))
        if count == 0:
            raise InvalidRequest(
                f"{word} holds no picture: expected files ending in {', '.join(sorted(SUFFIXES))}"
            )
    pictures = tuple(found.values())
    require_distinct(pictures)
    return pictures


def read_parquet(path: Path, *, suffix: str | None = None) -> tuple[BatchPicture, ...]:
    """Read a list of pictures from a Parquet table.

    Args:
        path: the table, with a column `target` (paths) and, where wanted, `source` (a photo or
            identity file for this row) and `out` (path below the batch's folder). Relative paths
            are relative to the table's folder.
        suffix: as for `list_pictures`.

    Raises:
        InvalidRequest: the file is no such table, or two rows would get one output.
        ModuleNotFoundError: pyarrow is not installed.
    """
    rows = _rows(path)
    base = path.parent
    pictures = []
    for number, row in enumerate(rows):
        target, source, name = (row.get(column) for column in _COLUMNS)
        if not target:
            raise InvalidRequest(f"{path}: row {number} has no target, expected a path")
        pictures.append(
            BatchPicture(
                target=base / target,
                name=_named(path, number, name) if name else _output(Path(target).name, suffix),
                source=base / source if source else None,
            )
        )
    require_distinct(pictures)
    return tuple(pictures)


def require_distinct(pictures: Iterable[BatchPicture]) -> None:
    """Raise InvalidRequest where two pictures would get one output, or there are too many."""
    seen: dict[str, BatchPicture] = {}
    for picture in pictures:
        # Case alone does not tell files apart on every system.
        other = seen.setdefault(str(picture.name).casefold(), picture)
        if other is not picture:
            raise InvalidRequest(
                f"{other.target} and {picture.target} would both be written to {picture.name}: "
                "give them in two calls, or name outputs in a table's column out"
            )
    if not 1 <= len(seen) <= MAX_PICTURES:
        raise InvalidRequest(f"{len(seen)} pictures are listed, expected 1 to {MAX_PICTURES}")


def _expand(word: str | Path) -> Iterator[tuple[Path, str]]:
    """The (path, name below the batch's folder) of all pictures that a word names."""
    path = Path(word)
    if path.is_dir():
        for one in sorted(path.rglob("*")):
            if _is_picture(one):
                yield one, one.relative_to(path).as_posix()
    elif path.exists() or not _is_pattern(word):
        if not path.exists():
            raise PictureMissing(path)
        yield path, path.name
    else:
        root = Path(*_plain_parts(path))
        for text in sorted(glob.glob(str(word), recursive=True)):  # noqa: PTH207 any root
            one = Path(text)
            if _is_picture(one):
                yield one, one.relative_to(root).as_posix()


def _is_picture(path: Path) -> bool:
    hidden = path.name.startswith(".") or is_clutter(path.name)
    return path.suffix.lower() in SUFFIXES and not hidden and path.is_file()


def _is_pattern(word: str | Path) -> bool:
    return glob.has_magic(str(word)) and not Path(word).exists()


def _plain_parts(path: Path) -> list[str]:
    """The folders before the first part with a wildcard."""
    plain: list[str] = []
    for part in path.parts[:-1]:
        if glob.has_magic(part):
            break
        plain.append(part)
    return plain


def _output(name: str, suffix: str | None) -> PurePosixPath:
    path = PurePosixPath(name)
    if suffix is not None:
        return path.with_suffix(suffix)
    return path if path.suffix.lower() in WRITABLE else path.with_suffix(".png")


def _named(table: Path, number: int, name: str) -> PurePosixPath:
    """An output that a table names: below the batch's folder, in a writable format."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or path.suffix.lower() not in WRITABLE:
        raise InvalidRequest(
            f"{table}: row {number} has out {name!r}, expected a path inside the new folder that "
            f"ends in {', '.join(WRITABLE)}"
        )
    return path


def _rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    try:
        with parquet.ParquetFile(path) as file:
            names = [column for column in _COLUMNS if column in file.schema_arrow.names]
            rows = file.metadata.num_rows
            if "target" not in names or not 1 <= rows <= MAX_PICTURES:
                raise InvalidRequest(
                    f"{path} has the columns {', '.join(file.schema_arrow.names)} and {rows} rows: "
                    f"expected a column target and 1 to {MAX_PICTURES} rows"
                )
            table = file.read(columns=names)
    except FileNotFoundError as error:
        raise InvalidRequest(f"{path}: there is no such table") from error
    except (arrow.ArrowException, OSError) as error:
        words = " ".join(str(error).split())[:200]
        raise InvalidRequest(f"{path} cannot be read as a Parquet table ({words})") from error
    for name in names:
        kind = table.schema.field(name).type
        if not (arrow.types.is_string(kind) or arrow.types.is_large_string(kind)):
            raise InvalidRequest(f"{path}: the column {name} is {kind}, expected text")
    listed: list[dict[str, Any]] = table.to_pylist()
    return listed
