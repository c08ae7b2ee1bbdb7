'use strict'
// What a script may ask of and tell to the agent that runs it: require('hookline_agent').

const fs = require('node:fs')

const MOST_RESULT_BYTES = 4 * 1024 * 1024
const channel = Number(process.env.HOOKLINE_CHANNEL ?? '-1')

// What the agent was launched with, or its default argument; null when there is neither.
function getArgument () {
  const file = process.env.HOOKLINE_ARGUMENT
  return file && fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : null
}

// The run's result: any JSON value. The last one counts, and only if the script ends with exit code 0.
function setResultObject (value) {
  const text = JSON.stringify(value)
  if (text === undefined) throw new TypeError('a result object must be a JSON value')
  // What JSON.stringify writes as \ud800 is half of a character, which no receiver could read.
  if (/(?<!\\)(\\\\)*\\ud[89a-f]/.test(text)) throw new TypeError('a result object must be well-formed text')
  if (Buffer.byteLength(text) > MOST_RESULT_BYTES) {
    throw new RangeError(`a result object may have ${MOST_RESULT_BYTES} bytes`)
  }
  tell(`{"result":${text}}`)
}

// How far the script has come, 0.0 to 1.0, and a label that is shown beside it.
function progressHint (progress, label = '') {
  const done = Math.min(Math.max(Number(progress) || 0, 0), 1)
  tell(JSON.stringify({ progress: { percent: Math.round(done * 10000) / 100, label: Buffer.from(String(label).slice(0, 1000)).toString() } }))
}

// Seconds until the run is ended for taking too long.
function getTimeLeft () {
  return Math.max(0, Number(process.env.HOOKLINE_DEADLINE ?? Infinity) - Date.now() / 1000)
}

// The folder whose files are kept when the run has ended, however it ended: 64 at most, none below it.
function artifactsDir () {
  return process.env.HOOKLINE_ARTIFACTS
}

function tell (line) {
  const data = Buffer.from(line + '\n')
  let written = 0
  while (written < data.length) written += fs.writeSync(channel, data, written)
}

module.exports = {
  getArgument,
  setResultObject,
  progressHint,
  getTimeLeft,
  artifactsDir,
  get_argument: getArgument,
  set_result_object: setResultObject,
  progress_hint: progressHint,
  get_time_left: getTimeLeft,
  artifacts_dir: artifactsDir
}
