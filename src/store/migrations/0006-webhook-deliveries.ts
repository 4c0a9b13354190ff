import type { Migration } from './migrations.ts'

/** Which jobs deliver webhooks, to whom and about what: for their order, and for looking at the last ones. */
export const webhookDeliveries: Migration = {
  name: 'webhook deliveries',
  statements: ({ text, int, identity, table }) => [
    `CREATE TABLE webhook_deliveries (
      seq ${identity},
      job_id ${text} NOT NULL UNIQUE REFERENCES jobs (id) ON DELETE CASCADE,
      target ${text} NOT NULL,
      subject ${text}
    ) ${table}`,
    'CREATE INDEX webhook_deliveries_target ON webhook_deliveries (target, seq)',
    'CREATE INDEX webhook_deliveries_subject ON webhook_deliveries (target, subject, seq) WHERE subject IS NOT NULL',
    // Since when an endpoint has not taken anything; no row while all is well.
    `CREATE TABLE webhook_failures (
      target ${text} PRIMARY KEY,
      since ${int} NOT NULL
    ) ${table}`,
  ],
}
