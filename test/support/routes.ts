/** What a router has, as `GET /v1/files/{fileId}`, from what it prints without common prefixes. */
export function routesOf(tree: string): string[] {
  const parents: string[] = []
  return tree.split('\n').flatMap((line) => {
    const match = /^([│ ]*)[├└]── (\S+) \(([^)]*)\)/.exec(line)
    if (!match) return []
    const depth = match[1]!.length / 4
    parents[depth] = (depth === 0 ? '' : parents[depth - 1]!) + match[2]!
    const path = parents[depth]!.replace(/:(\w+)/g, '{$1}')
    return match[3]!
      .split(', ')
      .filter((method) => method !== 'HEAD' && method !== 'OPTIONS')
      .map((method) => `${method} ${path}`)
  })
}
