// People, their sessions, and one row for each refresh token that was handed out.
'use strict';

const { DataTypes } = require('sequelize');

const id = { type: DataTypes.UUID, defaultValue: DataTypes.UUIDV4, primaryKey: true };
const time = DataTypes.DATE;

module.exports = (sequelize) => {
  const table = (name, columns, indexes = []) =>
    sequelize.define(name, columns, {
      tableName: name,
      indexes,
      underscored: true,
      createdAt: 'created_at',
      updatedAt: 'updated_at',
    });
  const of = (model) => ({ type: DataTypes.UUID, allowNull: false, references: { model, key: 'id' } });

  const User = table('peer_users', {
    id,
    email: { type: DataTypes.STRING(254), allowNull: false, unique: true },
    display_name: { type: DataTypes.STRING(100), allowNull: false },
    password_hash: { type: DataTypes.STRING(255), allowNull: false },
    active: { type: DataTypes.BOOLEAN, allowNull: false, defaultValue: true },
  });
  const Session = table(
    'peer_sessions',
    {
      id,
      user_id: of(User),
      last_seen_at: time,
      expires_at: time,
      revoked_at: time,
      ip: DataTypes.STRING(45),
      user_agent: DataTypes.STRING(300),
    },
    [{ fields: ['user_id'] }],
  );
  const RefreshToken = table(
    'peer_refresh_tokens',
    {
      id,
      session_id: of(Session),
      digest: { type: DataTypes.STRING(64), allowNull: false, unique: true },
      expires_at: time,
      used_at: time,
    },
    [{ fields: ['session_id'] }],
  );
  return { User, Session, RefreshToken };
};
