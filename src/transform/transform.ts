/** What the planner needs to know of the source. */
export type SourceTraits = {
  format: string
  /** Size as stored. */
  widthPx: number
  heightPx: number
  /** EXIF orientation 1–8; 1 if absent. */
  orientation: number
  hasAlpha: boolean
  pages: number
  sizeBytes: number
  /** `x,y,w,h` of the asset, for `fo-custom`. */
  customCoordinates: string | null
}
