// Put the mark "generated" into the files that the page hands out: an XMP packet in a PNG or JPEG.

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k += 1) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

export async function marked(blob, xmp) {
  const data = new Uint8Array(await blob.arrayBuffer());
  const made = blob.type === "image/png" ? intoPng(data, xmp) : intoJpeg(data, xmp);
  return new Blob([made], { type: blob.type });
}

function intoPng(data, xmp) {
  const text = new TextEncoder().encode(`iTXtXML:com.adobe.xmp\0\0\0\0\0${xmp}`);
  const chunk = new Uint8Array(text.length + 8);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, text.length - 4);
  chunk.set(text, 4);
  view.setUint32(4 + text.length, crc(text));
  const header = 33; // signature and IHDR
  return join(data.subarray(0, header), chunk, data.subarray(header));
}

function intoJpeg(data, xmp) {
  const text = new TextEncoder().encode(`http://ns.adobe.com/xap/1.0/\0${xmp}`);
  const head = new Uint8Array([0xff, 0xe1, (text.length + 2) >> 8, (text.length + 2) & 255]);
  return join(data.subarray(0, 2), head, text, data.subarray(2));
}

function crc(data) {
  let value = 0xffffffff;
  for (const byte of data) value = CRC[(value ^ byte) & 255] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

function join(...parts) {
  const made = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    made.set(part, at);
    at += part.length;
  }
  return made;
}
