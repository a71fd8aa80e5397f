-- What the service's roles may do, and nothing else. Run it as the owner of the tables, in the service's database,
-- after every `authsvc migrate`; it may be repeated. The roles are made as docs/operations.md says.

-- The service: no DDL, and the audit trail is append-only for it.
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM authsvc;
GRANT SELECT ON alembic_version, schema_info TO authsvc;
GRANT SELECT, INSERT ON audit_events, audit_keys, pepper_checks TO authsvc;
GRANT SELECT, UPDATE ON change_head TO authsvc;
GRANT SELECT, INSERT, UPDATE ON key_uses, keys, organizations TO authsvc;
GRANT SELECT, INSERT, DELETE ON auth_change, former_digests TO authsvc;
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency, usage_days, usage_flushes, usage_hours, usage_minutes TO authsvc;

-- `authsvc audit prune`, which removes events that were kept long enough, and tells so in the trail.
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM authsvc_maintenance;
GRANT SELECT ON alembic_version, schema_info, audit_keys, pepper_checks TO authsvc_maintenance;
GRANT SELECT (id, pepper_id, revoked_at, deleted_at) ON keys TO authsvc_maintenance;
GRANT SELECT, UPDATE ON change_head TO authsvc_maintenance;
GRANT SELECT, INSERT, DELETE ON audit_events TO authsvc_maintenance;
