// Verifies masklets on Label Studio's page in Chromium as an annotator does, and prints what was there to verify.
// node label_studio_verdicts.js URL EMAIL PASSWORD PROJECT SCREENSHOT.png TASKS
// TASKS is JSON: [{task, key, move}]: the key of the verdict, and, to correct, {frame, from, to}: a box is drawn along.
const { chromium } = require('playwright-core');

const [url, email, password, project, screenshot, tasks] = process.argv.slice(2);
const PATIENCE = 600000;
const LOST = 3000;
const until = (page, question, given) => page.waitForFunction(question, given, { timeout: PATIENCE });

async function login(page) {
  await page.goto(`${url}/user/login/`);
  await page.fill('input[name=email]', email);
  await page.fill('input[name=password]', password);
  await Promise.all([page.waitForURL(to => !to.pathname.startsWith('/user/login')), page.click('button[type=submit]')]);
}

// The masklet is there when the task opens: the page makes an annotation of the prediction.
async function open(page, task) {
  await page.goto(`${url}/projects/${project}/data?task=${task}`);
  await until(page, () => {
    const annotation = window.Htx?.annotationStore?.selected;
    const video = annotation?.names.get('video');
    return annotation?.type === 'annotation' && annotation.regions.length && video.isReady && video.length;
  });
}

async function moveBox(page, { frame, from, to, size }) {
  await page.evaluate(number => window.Htx.annotationStore.selected.names.get('video').setFrame(number), frame);
  await until(page, number => {
    const video = window.Htx.annotationStore.selected.names.get('video');
    const player = document.querySelector('video');  // it comes later than the page
    return video.frame === number && player !== null && !player.seeking;
  }, frame);
  const canvas = await page.locator('.konvajs-content canvas').first().boundingBox();
  const at = ([x, y]) => [canvas.x + (canvas.width - size[0]) / 2 + x, canvas.y + (canvas.height - size[1]) / 2 + y];
  const drawn = page => page.evaluate(() => window.Htx.annotationStore.selected.regions[0].sequence.map(one => ({ ...one })));
  const before = JSON.stringify(await drawn(page));
  await page.mouse.click(...at(from));
  await until(page, () => window.Htx.annotationStore.selected.regions[0].selected);
  await page.mouse.move(...at(from));
  await page.mouse.down();
  await page.mouse.move(...at(to), { steps: 8 });
  await page.mouse.up();
  await until(page, known => JSON.stringify(window.Htx.annotationStore.selected.regions[0].sequence) !== known, before);
}

// A page that is still being drawn misses keys, as an annotator knows.
async function choose(page, key) {
  const chosen = () => window.Htx.annotationStore.selected.names.get('verdict').selectedValues().length > 0;
  const end = Date.now() + PATIENCE;
  while (Date.now() < end) {
    if (await page.evaluate(chosen)) return;
    await page.keyboard.press(key);
    await page.waitForFunction(chosen, null, { timeout: LOST }).catch(() => {});
  }
  throw new Error(`key ${key} does nothing`);
}

async function main() {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
  const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
  page.setDefaultTimeout(PATIENCE);
  const shown = [];
  try {
    await login(page);
    for (const { task, key, move } of JSON.parse(tasks)) {
      await open(page, task);
      shown.push(await page.evaluate(() => window.Htx.annotationStore.selected.serializeAnnotation()));
      if (move) await moveBox(page, move);
      await choose(page, key);
      await page.screenshot({ path: screenshot });
      const submitted = page.waitForResponse(
        one => one.url().includes(`/api/tasks/${task}/annotations`) && one.request().method() === 'POST');
      await page.locator('[data-testid=bottombar-submit-button]').click();
      if (!(await submitted).ok()) throw new Error(`task ${task}: ${(await submitted).status()}`);
    }
    console.log(JSON.stringify(shown));
  } catch (error) {
    await page.screenshot({ path: screenshot });
    throw error;
  } finally {
    await browser.close();
  }
}

main().catch(error => { console.error(error); process.exit(1); });
