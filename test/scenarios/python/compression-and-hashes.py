import zlib, gzip, bz2, lzma, hashlib, base64, binascii, io
data = b"the quick brown fox " * 500
for module in (zlib, bz2, lzma):
    packed = module.compress(data)
    print(module.__name__, len(packed) < 300, module.decompress(packed) == data)
buffer = io.BytesIO()
with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as f: f.write(data)
print(gzip.decompress(buffer.getvalue()) == data, zlib.crc32(data), zlib.adler32(data))
print(hashlib.md5(data).hexdigest(), hashlib.sha256(data).hexdigest(), hashlib.blake2s(b"x").hexdigest()[:16])
print(base64.b64encode(b"\x00\xff binary"), binascii.unhexlify("cafe"), base64.b85encode(b"abcd"))
