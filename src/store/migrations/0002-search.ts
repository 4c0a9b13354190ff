import type { Migration } from './migrations.ts'

/**
 * What the search finds assets by. The tables hold only what follows from the rows of `versions` and `folders`, so
 * they are made anew, and filled when the store is opened. Values stand before `created_at` in the indexes: an
 * asset's creation is the usual order, and a page of the assets with one value then lies side by side. So that a page
 * or a count needs no look at the versions themselves, whether they are current is repeated beside them.
 */
export const search: Migration = {
  name: 'search',
  statements: ({ text, int, real, keyedTable, nullsFirst, keepCopies }) => [
    'DROP TABLE version_tags',
    'DROP TABLE version_fields',
    'DROP TABLE folder_fields',
    `CREATE TABLE version_tags (
      version_seq ${int} NOT NULL REFERENCES versions (seq) ON DELETE CASCADE,
      tag ${text} NOT NULL,
      is_ai ${int} NOT NULL,
      is_current ${int} NOT NULL,
      created_at ${int} NOT NULL,
      PRIMARY KEY (version_seq, tag, is_ai)
    ) ${keyedTable}`,
    `CREATE INDEX version_tags_tag ON version_tags (tag, is_current, created_at ${nullsFirst}, version_seq, is_ai)`,
    ...[
      { kind: 'version', of: 'versions', flag: `is_current ${int} NOT NULL,`, indexed: 'is_current,' },
      { kind: 'folder', of: 'folders', flag: '', indexed: '' },
    ].flatMap(({ kind, of, flag, indexed }) => [
      `CREATE TABLE ${kind}_fields (
        ${kind}_seq ${int} NOT NULL REFERENCES ${of} (seq) ON DELETE CASCADE,
        field ${text} NOT NULL,
        position ${int} NOT NULL,
        text_value ${text},
        text_rest ${text},
        number_value ${real},
        date_value ${real},
        boolean_value ${int},
        ${flag}
        created_at ${int} NOT NULL,
        PRIMARY KEY (${kind}_seq, field, position)
      ) ${keyedTable}`,
      ...['text', 'number', 'date', 'boolean'].map(
        (type) => `CREATE INDEX ${kind}_fields_${type}
          ON ${kind}_fields (field, ${indexed} ${type}_value, created_at ${nullsFirst}, ${kind}_seq)
          WHERE ${type}_value IS NOT NULL`,
      ),
      `CREATE TABLE ${kind}_words (
        ${kind}_seq ${int} NOT NULL REFERENCES ${of} (seq) ON DELETE CASCADE,
        field ${text} NOT NULL,
        word ${text} NOT NULL,
        ${flag}
        created_at ${int} NOT NULL,
        PRIMARY KEY (${kind}_seq, field, word)
      ) ${keyedTable}`,
      `CREATE INDEX ${kind}_words_word ON ${kind}_words (field, ${indexed} word, ${kind}_seq, created_at)`,
    ]),
    ...keepCopies({
      of: 'is_current',
      from: 'versions',
      by: 'version_seq',
      into: ['version_tags', 'version_fields', 'version_words'],
    }),
    `CREATE TABLE version_locations (
      version_seq ${int} PRIMARY KEY REFERENCES versions (seq) ON DELETE CASCADE,
      latitude ${real} NOT NULL,
      longitude ${real} NOT NULL
    ) ${keyedTable}`,
    'CREATE INDEX version_locations_place ON version_locations (latitude, longitude, version_seq)',
    // With the time of creation, matches within a range are put into the usual order without reading their rows.
    ...['name', 'updated_at', 'size_bytes', 'height_px', 'width_px'].flatMap((column) => [
      `DROP INDEX versions_by_${column}`,
      `CREATE INDEX versions_by_${column}
        ON versions (${column} ${nullsFirst}, seq, is_image, created_at) WHERE is_current = 1`,
    ]),
    `CREATE INDEX versions_format ON versions (format, created_at ${nullsFirst}, seq) WHERE is_current = 1`,
    // Of these, only the value that few files have is worth an index.
    ...[
      { name: 'private', rare: 'is_private = 1' },
      { name: 'drafts', rare: 'is_published = 0' },
      { name: 'alpha', rare: 'has_alpha = 1' },
      { name: 'non_image', rare: 'is_image = 0' },
    ].map(
      ({ name, rare }) =>
        `CREATE INDEX versions_${name} ON versions (created_at ${nullsFirst}, seq) WHERE is_current = 1 AND ${rare}`,
    ),
  ],
}
