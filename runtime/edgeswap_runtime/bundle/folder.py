"""Open a bundle's folder and check that it is whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeswap_runtime.bundle.manifest import FILE_NAME, Manifest, read_manifest
from edgeswap_runtime.errors import DamagedFile
from edgeswap_runtime.files import is_clutter, sha256_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """An opened bundle: where it is and what its manifest states."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path | str, *, verify: bool = True) -> Bundle:
        """Read a bundle's manifest and, by default, hash every file against it.

        Args:
            path: the bundle folder.
            verify: hash the files (about 1 GB/s); without it only their presence is checked.

        Raises:
            BadFolder: there is no such folder, or no manifest in it.
            BadBundle: the manifest is damaged, or contradicts itself.
            NewerSchema: written by a newer edgeswap.
            DamagedFile: a file is missing, unlisted, or not the one that was recorded.
        """
        folder = Path(path)
        bundle = cls(path=folder, manifest=read_manifest(folder))
        bundle.verify(hashes=verify)
        return bundle

    def graph_paths(self) -> dict[str, Path]:
        """Return graph name -> path of its ONNX file."""
        return {name: self.path / graph.file for name, graph in self.manifest.graphs.items()}

    def verify(self, *, hashes: bool = True) -> int:
        """Check that the folder holds exactly the files of the manifest, unchanged.

        `.DS_Store` and the like, which desktops leave in folders, are passed over.

        Args:
            hashes: compare contents too, not only presence and size.

        Returns:
            how many files were checked, the manifest not counted.

        Raises:
            DamagedFile: naming the first file that is wrong, what was expected and found.
        """
        listed = self.manifest.files
        present = {
            path.relative_to(self.path).as_posix()
            for path in self.path.rglob("*")
            if not path.is_dir() and path != self.path / FILE_NAME
        }
        # What desktops leave behind is never read, so that it does no harm.
        present = {name for name in present if name in listed or not is_clutter(Path(name).name)}
        for name in sorted(present - set(listed)):
            raise DamagedFile(self.path, name, expected="no such file", found="one")
        for name, entry in sorted(listed.items()):
            file = self.path / name
            if not file.is_file():
                raise DamagedFile(self.path, name, expected=f"{entry.bytes} bytes", found="no file")
            size = file.stat().st_size
            found = sha256_file(file) if hashes else entry.sha256
            if found != entry.sha256:
                expected = f"sha256 {entry.sha256}"
                raise DamagedFile(self.path, name, expected=expected, found=f"sha256 {found}")
            if size != entry.bytes:
                raise DamagedFile(
                    self.path, name, expected=f"{entry.bytes} bytes", found=f"{size} bytes"
                )
        return len(listed)
