// What benchmarks/http.py, auth.py and data.py measure the board beside, as one would write it in Express and
// Sequelize: so many processes, each with the same routes.
'use strict';

const cluster = require('node:cluster');
const { Sequelize } = require('sequelize');

const processes = Number(process.env.WEB_CONCURRENCY || 1);

const connect = () =>
  new Sequelize(process.env.DATABASE_URL, {
    logging: false,
    pool: { max: Number(process.env.DATABASE_POOL || 10), acquire: 3000 },
  });

async function main() {
  if (cluster.isPrimary) await makeTables();
  if (processes === 1 || cluster.isWorker) return serve();
  for (let i = 0; i < processes; i++) cluster.fork();
  process.on('SIGTERM', () => {
    for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGTERM');
    process.exit(0);
  });
}

// The accounts' tables; the books are the board's own.
async function makeTables() {
  const sequelize = connect();
  for (const model of Object.values(require('./accounts')(sequelize))) await model.sync();
  await sequelize.close();
}

function serve() {
  const express = require('express');
  const sequelize = connect();
  const app = express();
  app.disable('x-powered-by');
  app.set('trust proxy', 1);
  app.use(express.json());
  app.get('/livez', (request, reply) => reply.json({ status: 'alive' }));
  app.use('/api/auth', require('./auth')(sequelize));
  app.use('/api/commerce/customers', require('./customers')(sequelize));
  app.use('/api/shelf/books', require('./books')(sequelize));
  app.listen(Number(process.env.PORT), '127.0.0.1');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
