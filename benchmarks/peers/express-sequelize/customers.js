// The routes of commerce's customers that benchmarks/data.py loads, as models: a page, one, a new one, of the same
// table and shape.
'use strict';

const { randomUUID } = require('node:crypto');
const { Router } = require('express');
const { DataTypes, Op } = require('sequelize');
const { signedIn } = require('./tokens');

const EMAIL = /^[^@\s]+@[^@\s]+\.[^@\s]+$/;

const out = ({ id, name, email, status, tags, owner_id, version, created_at, updated_at }) => ({
  id,
  name,
  email,
  status,
  tags,
  owner_id,
  version,
  created_at,
  updated_at,
});

module.exports = (sequelize) => {
  const Customer = sequelize.define(
    'Customer',
    {
      id: { type: DataTypes.UUID, defaultValue: DataTypes.UUIDV4, primaryKey: true },
      tenant_id: DataTypes.UUID,
      name: { type: DataTypes.STRING(200), allowNull: false, validate: { len: [1, 200] } },
      email: { type: DataTypes.STRING(254), allowNull: false, validate: { is: EMAIL } },
      status: { type: DataTypes.STRING(20), defaultValue: 'active', validate: { isIn: [['active', 'blocked', 'closed']] } },
      tags: { type: DataTypes.ARRAY(DataTypes.TEXT), defaultValue: [] },
      owner_id: DataTypes.UUID,
      version: { type: DataTypes.INTEGER, defaultValue: 1 },
      created_at: DataTypes.DATE,
      updated_at: DataTypes.DATE,
      deleted_at: DataTypes.DATE,
    },
    {
      tableName: 'commerce_customers',
      createdAt: 'created_at',
      updatedAt: 'updated_at',
      deletedAt: 'deleted_at',
      paranoid: true,
    },
  );
  const routes = Router();
  routes.use(signedIn);

  routes.get('/:id', async (request, reply) => {
    const customer = await Customer.findOne({ where: { tenant_id: request.who.tid, id: request.params.id } });
    if (!customer) return reply.status(404).json({ code: 'NOT_FOUND' });
    reply.json(out(customer));
  });

  routes.get('/', async (request, reply) => {
    const limit = Math.min(Number(request.query.limit) || 20, 100);
    const where = { tenant_id: request.who.tid };
    if (request.query.cursor) {
      const [at, id] = JSON.parse(Buffer.from(request.query.cursor, 'base64url'));
      where[Op.or] = [{ created_at: { [Op.lt]: at } }, { created_at: at, id: { [Op.lt]: id } }];
    }
    const order = [['created_at', 'DESC'], ['id', 'DESC']];
    const customers = await Customer.findAll({ where, order, limit: limit + 1 });
    const items = customers.slice(0, limit);
    const last = items.at(-1);
    const next = customers.length > limit ? Buffer.from(JSON.stringify([last.created_at, last.id])) : null;
    reply.json({ items: items.map(out), next: next && next.toString('base64url') });
  });

  routes.post('/', async (request, reply) => {
    const { name, email, status, tags, owner_id } = request.body;
    const customer = await Customer.create({
      id: randomUUID(),
      tenant_id: request.who.tid,
      name,
      email,
      status,
      tags,
      owner_id: owner_id || request.who.sub,
    });
    reply.status(201).location(`/api/commerce/customers/${customer.id}`).json(out(customer));
  });

  return routes;
};
