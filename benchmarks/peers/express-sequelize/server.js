// The two routes of tests/sample/shelf that benchmarks/http.py loads, as one would write them in Express and Sequelize:
// a signed token is verified, one row or a page of rows is read as models and sent as JSON of the same shape.
'use strict';

const cluster = require('node:cluster');

const processes = Number(process.env.WEB_CONCURRENCY || 1);

if (processes > 1 && cluster.isPrimary) {
  for (let i = 0; i < processes; i++) cluster.fork();
  process.on('SIGTERM', () => {
    for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGTERM');
    process.exit(0);
  });
} else {
  serve();
}

function serve() {
  const express = require('express');
  const jwt = require('jsonwebtoken');
  const { Sequelize, DataTypes, Op } = require('sequelize');

  const sequelize = new Sequelize(process.env.DATABASE_URL, {
    logging: false,
    pool: { max: Number(process.env.DATABASE_POOL || 10), acquire: 3000 },
  });
  const Book = sequelize.define(
    'Book',
    {
      id: { type: DataTypes.UUID, primaryKey: true },
      tenant_id: DataTypes.UUID,
      title: DataTypes.TEXT,
      owner_id: DataTypes.UUID,
      author_id: DataTypes.UUID,
      version: DataTypes.INTEGER,
      created_at: DataTypes.DATE,
      updated_at: DataTypes.DATE,
    },
    { tableName: 'shelf_books', timestamps: false },
  );

  const out = ({ id, title, owner_id, version, created_at }) => ({ id, title, owner_id, version, created_at });
  const key = process.env.JWT_ACCESS_SECRET;
  const expected = { algorithms: ['HS256'], issuer: process.env.API_URL, audience: 'pegboard' };

  const app = express();
  app.disable('x-powered-by');

  app.get('/livez', (request, reply) => reply.json({ status: 'alive' }));

  app.use((request, reply, next) => {
    const [scheme, token] = (request.get('Authorization') || '').split(' ');
    try {
      if (scheme !== 'Bearer') throw new Error('no token');
      request.who = jwt.verify(token, key, expected);
    } catch {
      return reply.status(401).json({ code: 'TOKEN_INVALID' });
    }
    next();
  });

  app.get('/api/shelf/books/:id', async (request, reply) => {
    const book = await Book.findOne({ where: { tenant_id: request.who.tid, id: request.params.id } });
    if (!book) return reply.status(404).json({ code: 'NOT_FOUND' });
    reply.json(out(book));
  });

  app.get('/api/shelf/books', async (request, reply) => {
    const limit = Math.min(Number(request.query.limit) || 20, 100);
    const where = { tenant_id: request.who.tid };
    if (request.query.cursor) {
      const [at, id] = JSON.parse(Buffer.from(request.query.cursor, 'base64url'));
      where[Op.or] = [{ created_at: { [Op.lt]: at } }, { created_at: at, id: { [Op.lt]: id } }];
    }
    const order = [['created_at', 'DESC'], ['id', 'DESC']];
    const books = await Book.findAll({ where, order, limit: limit + 1 });
    const items = books.slice(0, limit);
    const last = items.at(-1);
    const next = books.length > limit ? Buffer.from(JSON.stringify([last.created_at, last.id])) : null;
    reply.json({ items: items.map(out), next: next && next.toString('base64url') });
  });

  app.listen(Number(process.env.PORT), '127.0.0.1');
}
