const fs = require('fs')
const { Partitioners } = require('kafkajs')

const COUNTS = [1, 2, 3, 7, 12, 64, 100, 1000, 100003, 2147483647]
const keys = fs.readFileSync(0, 'utf8').replace(/\n$/, '').split('\n')
const version = require('kafkajs/package.json').version
const out = [`# kafkajs ${version}`, `counts ${COUNTS.join(' ')}`]
for (const [name, create] of [
  ['kafkajs_default', Partitioners.DefaultPartitioner],
  ['kafkajs_legacy', Partitioners.LegacyPartitioner],
]) {
  out.push(`partitioner ${name}`)
  const partitioner = create()
  for (const key of keys) {
    const message = { key: key === 'null' ? null : Buffer.from(key, 'hex') }
    const row = COUNTS.map(length => {
      // No partition has a leader; an array of two billion would not fit.
      const partitionMetadata = { length, filter: () => [] }
      const all = Array.from({ length: 32 }, () =>
        partitioner({ topic: 'orders', partitionMetadata, message }))
      return all.every(p => p === all[0]) ? all[0] : '*'
    })
    out.push(row.join(' '))
  }
}
process.stdout.write(out.join('\n') + '\n')
