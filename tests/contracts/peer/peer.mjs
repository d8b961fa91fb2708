// An independent commercetools: the npm package of Lab Digital, with its ignored ?sort= mended and faults to inject.
// A fault {match, drop: "before"|"after"} or {match, status, retryAfter} fires once on the first POST whose path matches.
import { AsyncLocalStorage } from 'node:async_hooks'
import { CommercetoolsMock, InMemoryStorage } from '@labdigital/commercetools-mock'

const asked = new AsyncLocalStorage()
class SortingStorage extends InMemoryStorage {
  async query(projectKey, typeId, params) {
    const sort = asked.getStore()
    return super.query(projectKey, typeId, sort ? { ...params, sort } : params)
  }
}

const mock = new CommercetoolsMock({
  enableAuthentication: true, validateCredentials: true, strict: true, silent: true, storage: new SortingStorage(),
})
let faults = []
const take = (request, wanted) => {
  const at = faults.findIndex(f => request.method === 'POST' && wanted(f) && request.url.includes(f.match))
  return at < 0 || request.url.startsWith('/__') ? undefined : faults.splice(at, 1)[0]
}

mock.app.addHook('onRequest', (request, reply, done) => {
  const sort = request.query?.sort
  asked.run(sort ? [].concat(sort) : undefined, () => {
    const fault = take(request, f => f.drop !== 'after')
    if (!fault) return done()
    if (fault.drop) return request.raw.socket.destroy()
    if (fault.retryAfter) reply.header('Retry-After', String(fault.retryAfter))
    reply.code(fault.status).send({
      statusCode: fault.status, message: 'injected', errors: [{ code: 'OverCapacity', message: 'injected' }],
    })
  })
})
mock.app.addHook('onSend', (request, reply, payload, done) => {
  if (take(request, f => f.drop === 'after')) return request.raw.socket.destroy()
  done(null, payload)
})
mock.app.post('/__faults', async request => { faults = request.body; return { ok: true } })

await mock.app.listen({ port: 0, host: '127.0.0.1' })
console.log(JSON.stringify({ ready: `http://127.0.0.1:${mock.app.server.address().port}` }))
