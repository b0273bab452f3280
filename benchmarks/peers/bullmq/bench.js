// One step of benchmarks/jobs.py: put so many jobs on a queue, or run those that are there, and print how long it took.
'use strict';

const { Queue, Worker } = require('bullmq');

const [, , step, many, at] = process.argv;
const count = Number(many);
const connection = { url: at, maxRetriesPerRequest: null };
const payload = { text: 'x'.repeat(89) };
// What is kept of jobs that have ended, as the board keeps it.
const options = { attempts: 4, removeOnComplete: { count: 100 }, removeOnFail: { count: 1000 } };

async function main() {
  const queue = new Queue('bench', { connection, defaultJobOptions: options });
  await queue.waitUntilReady();
  const began = process.hrtime.bigint();
  const cpu = process.cpuUsage();
  if (step === 'single') {
    for (let i = 0; i < count; i++) await queue.add('noop', payload);
  } else if (step === 'bulk') {
    for (let i = 0; i < count; i += 500) {
      await queue.addBulk(Array.from({ length: Math.min(500, count - i) }, () => ({ name: 'noop', data: payload })));
    }
  } else {
    await ran();
  }
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  const used = process.cpuUsage(cpu);
  const mib = process.memoryUsage().rss / 2 ** 20;
  console.log(JSON.stringify({ seconds, cpu: (used.user + used.system) / 1e6, mib }));
  process.exit(0);
}

function ran() {
  return new Promise((resolve) => {
    let done = 0;
    const worker = new Worker('bench', async () => {}, { connection, concurrency: 20 });
    worker.on('completed', () => {
      if (++done === count) resolve();
    });
  });
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
