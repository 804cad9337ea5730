"""The mark that says a picture was generated: machine-readable, beside the pixels, never in them.

EXIF `Software`, and an XMP packet with IPTC's `DigitalSourceType` and the bundle's hash. Metadata
is easily lost; it tells honest software, it does not stop a dishonest person.

Source: IPTC Photo Metadata Standard 2023.2, "Digital Source Type"; XMP specification part 3 (where
packets lie in JPEG, PNG and WebP files).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, unescape

from PIL import Image, PngImagePlugin

from edgeswap_runtime._errors import InvalidRequest

if TYPE_CHECKING:
    from pathlib import Path

DIGITAL_SOURCE_TYPE = (
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
)
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
   <edgeswap:bundleSha256>{bundle_sha256}</edgeswap:bundleSha256>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a generated picture says of itself.

    Attributes:
        software: name and version, such as "edgeswap 0.1.0".
        bundle_sha256: `manifest_sha256` of the bundle that made it.
        digital_source_type: IPTC's term, a URI.
    """

    software: str
    bundle_sha256: str
    digital_source_type: str = DIGITAL_SOURCE_TYPE

    def xmp(self) -> bytes:
        """The XMP packet, UTF-8."""
        text = _XMP.format(
            namespace=_NAMESPACE,
            source_type=escape(self.digital_source_type),
            software=escape(self.software),
            bundle_sha256=escape(self.bundle_sha256),
        )
        return text.encode("utf-8")

    def save_options(self, file_format: str) -> dict[str, Any]:
        """What `Image.save` must be given so that the file carries the mark.

        Args:
            file_format: "PNG", "JPEG" or "WEBP".
        """
        exif = Image.Exif()
        exif[_SOFTWARE] = self.software
        xmp = self.xmp()
        if file_format == "PNG":
            info = PngImagePlugin.PngInfo()
            info.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8"))
            info.add_text("Software", self.software)
            return {"exif": exif, "pnginfo": info}
        if file_format == "JPEG":
            # Pillow below 11.0 has no `xmp` option for JPEG: write the APP1 segment ourselves.
            segment = b"http://ns.adobe.com/xap/1.0/\x00" + xmp
            header = b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big")
            return {"exif": exif, "extra": header + segment}
        if file_format == "WEBP":
            return {"exif": exif.tobytes(), "xmp": xmp}
        raise InvalidRequest(f"no mark is known for {file_format}: expected PNG, JPEG or WEBP")


def read_mark(path: Path) -> Mark | None:
    """Read the mark of a picture that edgeswap wrote; None when it has none."""
    with Image.open(path) as image:
        packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    text = packet.decode("utf-8", "replace") if isinstance(packet, bytes) else packet
    values = {}
    for field, tag in (
        ("software", "xmp:CreatorTool"),
        ("bundle_sha256", "edgeswap:bundleSha256"),
        ("digital_source_type", "Iptc4xmpExt:DigitalSourceType"),
    ):
        match = re.search(f"<{tag}>([^<]*)</{tag}>", text)
        if match is None:
            return None
        values[field] = unescape(match.group(1))
    return Mark(**values)
