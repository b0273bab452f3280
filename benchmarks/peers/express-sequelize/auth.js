// Register, log in, refresh, me: argon2id at the board's cost, on libuv's threads; refresh tokens that are good once,
// each a row found by its hash, one used twice ends its session.
'use strict';

const { createHash, createHmac, randomBytes } = require('node:crypto');
const argon2 = require('@node-rs/argon2');
const { Router } = require('express');
const { UniqueConstraintError } = require('sequelize');
const { SECONDS, accessToken, signedIn } = require('./tokens');

const COST = { algorithm: argon2.Algorithm.Argon2id, memoryCost: 19456, timeCost: 2, parallelism: 1 };
const DAY = 86_400_000;

const digest = (token) => createHash('sha256').update(token).digest('hex');
const refuse = (reply, code, status = 401) => reply.status(status).json({ code });
const shown = ({ id, email, display_name }) => ({ id, email, display_name });
const whence = (request) => ({ ip: request.ip, user_agent: (request.get('User-Agent') || '').slice(0, 300) });

module.exports = (sequelize) => {
  const { User, Session, RefreshToken } = require('./accounts')(sequelize);
  const decoy = argon2.hash(randomBytes(16), COST);
  const routes = Router();

  async function begin(user, from, transaction) {
    const expires_at = new Date(Date.now() + 30 * DAY);
    const session = await Session.create(
      { user_id: user.id, last_seen_at: new Date(), expires_at, ...from },
      { transaction },
    );
    return handOver(user, session, transaction);
  }

  async function handOver(user, session, transaction) {
    const token = randomBytes(32).toString('base64url');
    const expires_at = new Date(Date.now() + 7 * DAY);
    await RefreshToken.create({ session_id: session.id, digest: digest(token), expires_at }, { transaction });
    return {
      access_token: accessToken(user, session),
      refresh_token: token,
      token_type: 'Bearer',
      expires_in: SECONDS,
      session_id: session.id,
      user: shown(user),
    };
  }

  routes.post('/register', async (request, reply) => {
    const { email, password, display_name } = request.body;
    const password_hash = await argon2.hash(password, COST);
    try {
      const found = await sequelize.transaction(async (transaction) => {
        const user = await User.create({ email: email.toLowerCase(), display_name, password_hash }, { transaction });
        return begin(user, whence(request), transaction);
      });
      reply.status(201).json(found);
    } catch (error) {
      if (!(error instanceof UniqueConstraintError)) throw error;
      refuse(reply, 'EMAIL_TAKEN', 409);
    }
  });

  routes.post('/login', async (request, reply) => {
    const { email, password } = request.body;
    const user = await User.findOne({ where: { email: email.toLowerCase() } });
    const right = await argon2.verify(user ? user.password_hash : await decoy, password);
    if (!user || !right || !user.active) return refuse(reply, 'INVALID_CREDENTIALS');
    reply.json(await sequelize.transaction((transaction) => begin(user, whence(request), transaction)));
  });

  routes.post('/refresh', async (request, reply) => {
    const found = await sequelize.transaction((transaction) => rotate(request, transaction));
    return typeof found === 'string' ? refuse(reply, found) : reply.json(found);
  });

  // New tokens, or the code of a refusal, whose writes stay.
  async function rotate(request, transaction) {
    const where = { digest: digest(request.body.refresh_token) };
    const token = await RefreshToken.findOne({ where, lock: transaction.LOCK.UPDATE, transaction });
    if (!token) return 'TOKEN_INVALID';
    const session = await Session.findByPk(token.session_id, { transaction });
    if (session.revoked_at) return 'SESSION_ENDED';
    const now = new Date();
    if (token.used_at) {
      await session.update({ revoked_at: now }, { transaction });
      return 'SESSION_COMPROMISED';
    }
    if (token.expires_at <= now || session.expires_at <= now) return 'TOKEN_EXPIRED';
    const user = await User.findByPk(session.user_id, { transaction });
    if (!user || !user.active) return 'SESSION_ENDED';
    await token.update({ used_at: now }, { transaction });
    await session.update({ last_seen_at: now, ...whence(request) }, { transaction });
    return handOver(user, session, transaction);
  }

  routes.get('/me', signedIn, async (request, reply) => {
    const user = await User.findByPk(request.who.sub);
    return user ? reply.json(shown(user)) : refuse(reply, 'TOKEN_INVALID');
  });

  routes.get('/csrf', signedIn, (request, reply) => {
    const csrf_token = createHmac('sha256', process.env.JWT_ACCESS_SECRET).update(request.who.sid).digest('base64url');
    reply.json({ csrf_token });
  });

  return routes;
};
