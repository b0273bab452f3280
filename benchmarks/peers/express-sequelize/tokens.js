// Access tokens: made by jsonwebtoken, and asked for by routes that want somebody signed in.
'use strict';

const { randomUUID } = require('node:crypto');
const jwt = require('jsonwebtoken');

const SECONDS = 900;
const key = process.env.JWT_ACCESS_SECRET;
const issuer = process.env.API_URL;
const audience = 'pegboard';
const expected = { algorithms: ['HS256'], issuer, audience };

function accessToken(user, session) {
  const options = { algorithm: 'HS256', expiresIn: SECONDS, issuer, audience, subject: user.id, jwtid: randomUUID() };
  return jwt.sign({ sid: session.id }, key, options);
}

function signedIn(request, reply, next) {
  const [scheme, token] = (request.get('Authorization') || '').split(' ');
  try {
    if (scheme !== 'Bearer') throw new Error('no token');
    request.who = jwt.verify(token, key, expected);
  } catch {
    return reply.status(401).json({ code: 'TOKEN_INVALID' });
  }
  next();
}

module.exports = { SECONDS, accessToken, signedIn };
