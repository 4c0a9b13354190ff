/** Characters that all tags of a file may have together (OpenAPI, Upload). */
const MAX_TAG_CHARACTERS = 500

export const TAGS_TOO_LONG =
  'Your request contains invalid value for tags parameter. Combined length of all tags should be less than or equal to 500.'

/** Whether tags are longer together than a file may have them. */
export function tagsAreTooLong(tags: string[]): boolean {
  return tags.reduce((sum, tag) => sum + tag.length, 0) > MAX_TAG_CHARACTERS
}
