// Writes the keys that all generators hash: one in hexadecimal a line, `null`, or nothing for the
// empty one.
let state = 1
const noise = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return state >>> 24
}
const text = 'id-0123456789 Größe žluťoučký 東京 🍕 naïve'
const lines = ['null', '']
for (let length = 1; length <= 40; length++) {
  const rows = [
    Buffer.from(Array.from({ length }, noise)),
    Buffer.from(Array.from({ length }, () => noise() | 0x80)),
    Buffer.from(Array.from({ length }, () => 0x61 + (noise() % 26))),
    Buffer.from(text).subarray(0, length),
    Buffer.alloc(length, length % 2 ? 0xff : 0x00),
  ]
  lines.push(...rows.map(row => row.toString('hex')))
}
for (let n = 0; n < 100; n++) lines.push(Buffer.from(`customer-${n * 37}`).toString('hex'))
process.stdout.write(lines.join('\n') + '\n')
