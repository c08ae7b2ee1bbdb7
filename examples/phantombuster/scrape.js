// The same in JavaScript.
const { getArgument, getTimeLeft, progressHint, setResultObject } = require('hookline_agent')

async function main () {
  const pages = getArgument()?.pages ?? []
  const counts = {}
  for (const [index, page] of pages.entries()) {
    if (getTimeLeft() < 5) {
      console.log('no time left for the rest')
      break
    }
    counts[page.title] = page.text.split(/\s+/).filter(Boolean).length
    console.log(`${page.title}: ${counts[page.title]} words`)
    progressHint((index + 1) / pages.length, page.title)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  setResultObject({ words: counts, total: Object.values(counts).reduce((sum, count) => sum + count, 0) })
}

main()
