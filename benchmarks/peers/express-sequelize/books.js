// The two routes of tests/sample/shelf that benchmarks/http.py loads: one row or a page of rows is read as models and
// sent as JSON of the same shape.
'use strict';

const { Router } = require('express');
const { DataTypes, Op } = require('sequelize');
const { signedIn } = require('./tokens');

const out = ({ id, title, owner_id, version, created_at }) => ({ id, title, owner_id, version, created_at });

module.exports = (sequelize) => {
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
  const routes = Router();
  routes.use(signedIn);

  routes.get('/:id', async (request, reply) => {
    const book = await Book.findOne({ where: { tenant_id: request.who.tid, id: request.params.id } });
    if (!book) return reply.status(404).json({ code: 'NOT_FOUND' });
    reply.json(out(book));
  });

  routes.get('/', async (request, reply) => {
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

  return routes;
};
