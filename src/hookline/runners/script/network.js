'use strict'
// Loaded before a script that may use the network: http, https and fetch go through the agent's proxy, as programs in
// other languages do by HTTP_PROXY and HTTPS_PROXY.

const http = require('node:http')
const https = require('node:https')
const tls = require('node:tls')

const proxy = new URL(process.env.HTTP_PROXY)
const near = new Set(['127.0.0.1', 'localhost', '::1'])

function tunnel (host, port, done) {
  const request = http.request({
    host: proxy.hostname, port: proxy.port, method: 'CONNECT', path: `${host}:${port}`, agent: false
  })
  request.once('connect', (answer, socket) => {
    if (answer.statusCode === 200) return done(null, socket)
    socket.destroy()
    done(Object.assign(new Error(`${host}:${port} cannot be reached from here`), { code: 'ECONNREFUSED' }))
  })
  request.once('error', done)
  request.end()
}

function secured (options, done) {
  return (error, socket) => {
    if (error) return done(error)
    const servername = options.servername || options.hostname || options.host
    const secure = tls.connect({ ...options, socket, servername }, () => done(null, secure))
    secure.once('error', done)
  }
}

class Plain extends http.Agent {
  createConnection (options, done) {
    if (near.has(options.host)) return super.createConnection(options, done)
    tunnel(options.host, options.port || 80, done)
  }
}

class Secure extends https.Agent {
  createConnection (options, done) {
    if (near.has(options.host)) return super.createConnection(options, done)
    tunnel(options.host, options.port || 443, secured(options, done))
  }
}

http.globalAgent = new Plain({ keepAlive: true })
https.globalAgent = new Secure({ keepAlive: true })

// fetch has a dispatcher of its own, which is there once it was used.
const dispatcher = Symbol.for('undici.globalDispatcher.1')
fetch('data:,').catch(() => {})
const Dispatcher = globalThis[dispatcher]?.constructor
if (Dispatcher) {
  globalThis[dispatcher] = new Dispatcher({
    connect (options, done) {
      const isSecure = options.protocol === 'https:'
      const port = options.port || (isSecure ? 443 : 80)
      tunnel(options.hostname, port, isSecure ? secured({ ...options, ALPNProtocols: ['http/1.1'] }, done) : done)
    }
  })
}
