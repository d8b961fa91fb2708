// Writes a TypeScript program out of recorded calls: it compiles when, and only when, the vendor's generated types
// know every address, query argument, body and answer. Usage: node describe.mjs calls.json program.ts
import { readFileSync, writeFileSync } from 'node:fs'
import { parse, print } from 'graphql'

const [, , source, target] = process.argv
const lines = []

lines.push(`import type { ApiRoot } from '@commercetools/platform-sdk'
import type * as G from '@commercetools-test-data/graphql-types'

declare const root: ApiRoot

// The types end many enumerations with "or any text"; here only the values they name count.
type Named<T extends string> = T extends string ? (string extends T ? never : {} extends Record<T, 1> ? never : T) : never
type Text<T extends string> = string extends T ? ([Named<T>] extends [never] ? T : Named<T>) : T
type Closed<T> = Text<Extract<T, string>> | Rest<Exclude<T, string>>
type Rest<T> = T extends null | undefined | number | boolean ? T
  : T extends readonly (infer E)[] ? Closed<E>[]
  : T extends object ? { [K in keyof T]: Closed<T[K]> }
  : T
// Query arguments may carry any name for the values of a predicate (var.x); every other name must be described.
type Described<T> = { [K in keyof T as string extends K ? never : K]: T[K] } & { [K in \`var.\${string}\`]: string | string[] }
type Asked<F> = F extends (a: infer A) => unknown ? NonNullable<A> extends { queryArgs?: infer Q } ? Described<NonNullable<Q>> : never : never
type Sent<F> = F extends (a: infer A) => unknown ? A extends { body: infer B } ? Closed<B> : never : never
type Told<F> = F extends (...a: never[]) => { execute(): Promise<infer R> } ? R extends { body?: infer B } ? Closed<NonNullable<B>> : never : never
// The GraphQL types say "any JSON" as an object of anything.
type Plain<T> = { [K in keyof T]: { [key: string]: unknown } extends T[K] ? unknown : T[K] }
type Of<T> = NonNullable<T> extends readonly (infer E)[] ? NonNullable<E> : NonNullable<T>
type Field<T, K extends keyof T> = Of<T[K]>
`)

const SCALARS = ['String', 'Int', 'Long', 'Boolean']
const json = (value) => JSON.stringify(value, null, 1)
const camel = (name) => name.replace(/-(\w)/g, (_, letter) => letter.toUpperCase())

// What the platform's answers carry although its description does not name it.
const UNDESCRIBED = { isPlatformClient: [true, false], productCatalogModel: ['Classic'], type: ['Order'] }
const described = (value) => JSON.stringify(value, (key, each) => (UNDESCRIBED[key]?.includes(each) ? undefined : each), 1)

// The chain of the vendor's request builders that stands for an address.
function builder(path) {
  const [project, collection, item] = path.split('/').filter(Boolean)
  let chain = `root.withProjectKey({ projectKey: ${json(project)} })`
  if (collection) chain += `.${camel(collection)}()`
  if (item?.startsWith('key=')) chain += `.withKey({ key: ${json(item.slice(4))} })`
  else if (item) chain += `.withId({ ID: ${json(item)} })`
  return chain
}

function typed(name, value) {
  if (['limit', 'offset'].includes(name)) return Number(value)
  return ['withTotal', 'staged'].includes(name) ? value === 'true' : value
}

function asked(query) {
  const found = {}
  for (const [name, value] of query) {
    const one = typed(name, value)
    if (name in found) found[name] = [].concat(found[name], [one])
    else found[name] = one
  }
  return found
}

// Fields and arguments of a GraphQL operation, each looked up in the types of the vendor's schema.
function graph(place, { query, variables }, answer) {
  const [operation] = parse(query).definitions
  let count = 0
  for (const { type } of operation.variableDefinitions) {
    const base = print(type).replace(/[[\]!]/g, '')
    // Scalars have no type of their own there; a name that is neither is refused.
    lines.push(`export type V${place}_${count} = ${SCALARS.includes(base) ? 'string' : `G.TCtp${base}`}`)
    count++
  }
  const value = (node) => {
    if (node.kind === 'Variable') return variables[node.name.value]
    if (node.kind === 'ListValue') return node.values.map(value)
    return node.kind === 'IntValue' ? Number(node.value) : node.value
  }
  const capital = (name) => name[0].toUpperCase() + name.slice(1)
  const select = (parent, set, data) => {
    const names = set.selections.map((field) => json(field.name.value))
    const type = `T${place}_${count++}`
    lines.push(`type ${type} = Pick<${parent}, ${names.join(' | ')}>`)
    const scalars = set.selections.filter((field) => !field.selectionSet).map((field) => field.name.value)
    for (const row of [].concat(data ?? [])) {
      const shown = Object.fromEntries(scalars.map((name) => [name, row[name]]))
      lines.push(`export const s${place}_${count++}: Plain<Pick<${type}, ${scalars.map(json).join(' | ') || 'never'}>> = ${json(shown)}`)
    }
    for (const field of set.selections.filter((each) => each.selectionSet)) {
      const inner = [].concat(data ?? []).flatMap((row) => row[field.name.value] ?? [])
      select(`Field<${type}, ${json(field.name.value)}>`, field.selectionSet, inner)
    }
  }
  const root = operation.operation === 'mutation' ? 'Mutation' : 'Query'
  for (const field of operation.selectionSet.selections) {
    const name = field.name.value
    const given = Object.fromEntries(field.arguments.map((each) => [each.name.value, value(each.value)]))
    lines.push(`export const a${place}_${count++}: G.TCtp${root}_${capital(name)}Args = ${json(given)}`)
    const data = answer?.data?.[field.alias?.value ?? name]
    select(`Field<G.TCtp${root}, ${json(name)}>`, field.selectionSet, data)
  }
}

JSON.parse(readFileSync(source, 'utf8')).forEach((call, place) => {
  const chain = builder(call.path)
  lines.push(`\n// ${call.method} ${call.path}\nconst b${place} = ${chain}.${call.method.toLowerCase()}`)
  lines.push(`type F${place} = typeof b${place}`)
  if (call.query.length) lines.push(`export const q${place}: Asked<F${place}> = ${json(asked(call.query))}`)
  if (call.body !== null) lines.push(`export const r${place}: Sent<F${place}> = ${json(call.body)}`)
  const works = call.status >= 200 && call.status < 300
  if (works) lines.push(`export const t${place}: Told<F${place}> = ${described(call.answer)}`)
  if (call.path.endsWith('/graphql')) graph(place, call.body, call.answer)
})
writeFileSync(target, lines.join('\n') + '\n')
