import type { Migration } from './migrations.ts'

/**
 * The first schema. Listing needs an index for every sort, over the whole library and within one folder. They hold
 * current versions only and end in `seq` (ties in order of insertion) and `is_image` (so that the file type is
 * judged without reading the row).
 */
export const initial: Migration = {
  name: 'initial',
  statements: ({ text, int, identity, real, table, keyedTable, nullsFirst, include }, nowMs) => [
    `CREATE TABLE folders (
      seq ${identity},
      folder_id ${text} NOT NULL UNIQUE,
      parent_seq ${int} REFERENCES folders (seq),
      path ${text} NOT NULL UNIQUE,
      name ${text} NOT NULL,
      created_at ${int} NOT NULL,
      updated_at ${int} NOT NULL,
      custom_metadata ${text} NOT NULL
    ) ${table}`,
    // The root is there from the beginning, under an id that no other folder can get.
    `INSERT INTO folders (folder_id, path, name, created_at, updated_at, custom_metadata)
      VALUES ('000000000000000000000000', '/', '', ${nowMs}, ${nowMs}, '{}')`,
    `CREATE INDEX folders_in_parent_by_name ON folders (parent_seq, name ${nullsFirst}, seq)`,
    ...['name', 'created_at', 'updated_at'].map(
      (column) =>
        `CREATE INDEX folders_by_${column} ON folders (${column} ${nullsFirst}, seq) WHERE parent_seq IS NOT NULL`,
    ),
    ...['created_at', 'updated_at'].map(
      (column) =>
        `CREATE INDEX folders_in_parent_by_${column} ON folders (parent_seq, ${column} ${nullsFirst}, seq)`,
    ),

    `CREATE TABLE files (
      file_id ${text} PRIMARY KEY,
      highest_number ${int} NOT NULL
    ) ${keyedTable}`,

    `CREATE TABLE versions (
      seq ${identity},
      version_id ${text} NOT NULL,
      file_id ${text} NOT NULL REFERENCES files (file_id),
      number ${int} NOT NULL,
      is_current ${int} NOT NULL,
      folder_seq ${int} NOT NULL REFERENCES folders (seq),
      name ${text} NOT NULL,
      blob ${text} NOT NULL,
      size_bytes ${int} NOT NULL,
      mime ${text} NOT NULL,
      format ${text} NOT NULL,
      is_image ${int} NOT NULL,
      width_px ${int},
      height_px ${int},
      orientation ${int},
      has_alpha ${int},
      duration_sec ${real},
      bit_rate ${real},
      video_codec ${text},
      audio_codec ${text},
      is_private ${int} NOT NULL,
      is_published ${int} NOT NULL,
      custom_coordinates ${text},
      access_key ${text} NOT NULL,
      created_at ${int} NOT NULL,
      updated_at ${int} NOT NULL,
      tags ${text},
      ai_tags ${text},
      description ${text},
      custom_metadata ${text} NOT NULL,
      embedded_metadata ${text} NOT NULL
    ) ${table}`,
    'CREATE UNIQUE INDEX versions_number ON versions (file_id, number)',
    'CREATE UNIQUE INDEX versions_current ON versions (file_id) WHERE is_current = 1',
    `CREATE UNIQUE INDEX versions_path ON versions (folder_seq, name ${nullsFirst}) ${include('seq, is_image')} WHERE is_current = 1`,
    'CREATE INDEX versions_folder ON versions (folder_seq, is_current)',
    'CREATE INDEX versions_blob ON versions (blob)',
    `CREATE INDEX versions_past ON versions (created_at ${nullsFirst}, seq, is_image) WHERE is_current = 0`,
    ...['name', 'created_at', 'updated_at', 'size_bytes', 'height_px', 'width_px'].map(
      (column) =>
        `CREATE INDEX versions_by_${column} ON versions (${column} ${nullsFirst}, seq, is_image) WHERE is_current = 1`,
    ),
    // By name, versions_path gives the order within a folder.
    ...['created_at', 'updated_at', 'size_bytes', 'height_px', 'width_px'].map(
      (column) =>
        `CREATE INDEX versions_in_folder_by_${column} ON versions (folder_seq, ${column} ${nullsFirst}, seq, is_image) WHERE is_current = 1`,
    ),

    `CREATE TABLE version_tags (
      tag ${text} NOT NULL,
      version_seq ${int} NOT NULL REFERENCES versions (seq) ON DELETE CASCADE,
      is_ai ${int} NOT NULL,
      PRIMARY KEY (tag, version_seq, is_ai)
    ) ${keyedTable}`,
    'CREATE INDEX version_tags_version ON version_tags (version_seq, tag)',
    ...[
      { table: 'version_fields', owner: 'version_seq', of: 'versions' },
      { table: 'folder_fields', owner: 'folder_seq', of: 'folders' },
    ].flatMap((side) => [
      `CREATE TABLE ${side.table} (
        ${side.owner} ${int} NOT NULL REFERENCES ${side.of} (seq) ON DELETE CASCADE,
        field ${text} NOT NULL,
        text_value ${text},
        number_value ${real},
        boolean_value ${int}
      ) ${table}`,
      `CREATE INDEX ${side.table}_owner ON ${side.table} (${side.owner}, field)`,
      `CREATE INDEX ${side.table}_text ON ${side.table} (field, text_value, ${side.owner})`,
      `CREATE INDEX ${side.table}_number ON ${side.table} (field, number_value, ${side.owner})`,
      `CREATE INDEX ${side.table}_boolean ON ${side.table} (field, boolean_value, ${side.owner})`,
    ]),

    `CREATE TABLE fields (
      id ${text} PRIMARY KEY,
      name ${text} NOT NULL UNIQUE,
      label ${text} NOT NULL,
      schema ${text} NOT NULL,
      description ${text},
      created_at ${int} NOT NULL,
      deleted_at ${int}
    ) ${keyedTable}`,
    'CREATE UNIQUE INDEX fields_label ON fields (label) WHERE deleted_at IS NULL',

    `CREATE TABLE api_keys (
      id ${text} PRIMARY KEY,
      name ${text} NOT NULL,
      public_key ${text} NOT NULL UNIQUE,
      private_key ${text} NOT NULL UNIQUE,
      scope ${text} NOT NULL,
      created_at ${int} NOT NULL,
      expires_at ${int},
      disabled_at ${int}
    ) ${keyedTable}`,

    `CREATE TABLE settings (
      key ${text} PRIMARY KEY,
      value ${text} NOT NULL
    ) ${keyedTable}`,

    `CREATE TABLE used_tokens (
      key ${text} PRIMARY KEY,
      expires_at ${int} NOT NULL
    ) ${keyedTable}`,
    'CREATE INDEX used_tokens_expiry ON used_tokens (expires_at)',

    `CREATE TABLE jobs (
      id ${text} PRIMARY KEY,
      kind ${text} NOT NULL,
      payload ${text} NOT NULL,
      state ${text} NOT NULL,
      attempts ${int} NOT NULL DEFAULT 0,
      run_at ${int} NOT NULL,
      created_at ${int} NOT NULL,
      lease_until ${int},
      finished_at ${int},
      progress ${text} NOT NULL DEFAULT '{}',
      last_error ${text}
    ) ${keyedTable}`,
    "CREATE INDEX jobs_ready ON jobs (run_at, id) WHERE state = 'ready'",
    "CREATE INDEX jobs_running ON jobs (lease_until) WHERE state = 'running'",
    'CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL',
  ],
}
