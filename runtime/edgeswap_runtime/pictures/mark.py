"""Mark pictures as generated: machine-readable metadata; the pixels are not touched.

EXIF `Software`, and an XMP packet with IPTC's `DigitalSourceType` and the bundle's hash. Metadata
is easily lost; it tells honest software, it does not stop a dishonest person.

Source: IPTC Photo Metadata Standard 2023.2, "Digital Source Type"; XMP specification part 3 (where
packets lie in JPEG, PNG and WebP files).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image, PngImagePlugin

from edgeswap_runtime.errors import InvalidRequest

if TYPE_CHECKING:
    from pathlib import Path

_TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"
DIGITAL_SOURCE_TYPE = f"{_TERMS}compositeWithTrainedAlgorithmicMedia"
"""IPTC's term for a photo with a swapped face, and for sheets of such."""
RENDERED = f"{_TERMS}algorithmicMedia"
"""IPTC's term for a render of nobody: made by a program, without learning from data."""
DIAGRAM = f"{_TERMS}dataDrivenMedia"
"""IPTC's term for a drawing of numbers."""
ALIGNED = f"{_TERMS}algorithmicallyEnhanced"
"""IPTC's term for a crop of somebody's own photo: resampled by a program, not invented."""
_SOFTWARE = 0x0131  # EXIF tag
_NAMESPACE = "urn:edgeswap:1.0:"
_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmlns:edgeswap="{namespace}">
   <Iptc4xmpExt:DigitalSourceType>{source_type}</Iptc4xmpExt:DigitalSourceType>
   <xmp:CreatorTool>{software}</xmp:CreatorTool>
{bundle}  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""

_BUNDLE = "   <edgeswap:bundleSha256>{}</edgeswap:bundleSha256>\n"


def software() -> str:
    """Return this program's name and version, as pictures state it."""
    import importlib.metadata  # slow, as saxutils below: a --help needs neither

    return f"edgeswap {importlib.metadata.version('edgeswap')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a generated picture states about its origin.

    Attributes:
        software: name and version, such as "edgeswap 0.1.0".
        bundle_sha256: `manifest_sha256` of the bundle that made it; None where none did.
        digital_source_type: IPTC's term, a URI.
    """

    software: str
    bundle_sha256: str | None = None
    digital_source_type: str = DIGITAL_SOURCE_TYPE

    def xmp(self) -> bytes:
        """Return the XMP packet, UTF-8."""
        from xml.sax.saxutils import escape

        bundle = ""
        if self.bundle_sha256 is not None:
            bundle = _BUNDLE.format(escape(self.bundle_sha256))
        text = _XMP.format(
            namespace=_NAMESPACE,
            source_type=escape(self.digital_source_type),
            software=escape(self.software),
            bundle=bundle,
        )
        return text.encode("utf-8")

    def save_options(self, file_format: str, exif: bytes | None = None) -> dict[str, Any]:
        """Return the options of `Image.save` with which the file carries the mark.

        Args:
            file_format: "PNG", "JPEG" or "WEBP".
            exif: what else the file's EXIF shall hold, as `PictureExtras` has it.
        """
        entries = Image.Exif()
        if exif is not None:
            entries.load(exif)
        entries[_SOFTWARE] = self.software
        data, xmp = entries.tobytes(), self.xmp()
        if file_format == "PNG":  # Pillow has no `xmp` option for it
            info = PngImagePlugin.PngInfo()
            info.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8"))
            info.add_text("Software", self.software)
            return {"exif": data, "pnginfo": info}
        if file_format in ("JPEG", "WEBP"):
            return {"exif": data, "xmp": xmp}
        raise InvalidRequest(f"no mark is known for {file_format}: expected PNG, JPEG or WEBP")


def read_mark(path: Path) -> Mark | None:
    """Read the mark of a picture that edgeswap wrote; None when it has none."""
    from xml.sax.saxutils import unescape

    with Image.open(path) as image:
        packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    text = packet.decode("utf-8", "replace") if isinstance(packet, bytes) else packet
    values: dict[str, str] = {}
    for field, tag in (
        ("software", "xmp:CreatorTool"),
        ("bundle_sha256", "edgeswap:bundleSha256"),
        ("digital_source_type", "Iptc4xmpExt:DigitalSourceType"),
    ):
        match = re.search(f"<{tag}>([^<]*)</{tag}>", text)
        if match is None and field == "bundle_sha256":
            continue  # made by no bundle
        if match is None:
            return None
        values[field] = unescape(match.group(1))
    return Mark(**values)
