/** The columns of a version that a record of it carries as they are. */
export const versionColumnNames = [
  'version_id',
  'file_id',
  'number',
  'name',
  'blob',
  'size_bytes',
  'mime',
  'format',
  'is_image',
  'width_px',
  'height_px',
  'orientation',
  'has_alpha',
  'duration_sec',
  'bit_rate',
  'video_codec',
  'audio_codec',
  'is_private',
  'is_published',
  'custom_coordinates',
  'access_key',
  'created_at',
  'updated_at',
  'tags',
  'ai_tags',
  'description',
  'custom_metadata',
  'embedded_metadata',
] as const

/** What is read of a version (`v`) and its folder (`f`) to make a record of it. */
export const versionSelection = [
  ...versionColumnNames.map((name) => `v.${name}` as const),
  'v.is_current',
  'f.folder_id',
  'f.path as folder_path',
] as const
