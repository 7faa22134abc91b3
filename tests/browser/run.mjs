// Runs the tests one after the other; the last line is `N passed, N failed`, and `, N skipped` if any were.
import { tests as end } from './end-to-end.mjs';
import { tests as operations } from './operations.mjs';
import { Skipped } from './parts.mjs';
import { tests as script } from './script.mjs';
import { tests as keys } from './six-keys.mjs';
import { tests as viewer } from './viewer.mjs';

let [passed, failed, skipped] = [0, 0, 0];
for (const [name, test] of Object.entries({ ...script, ...end, ...keys, ...viewer, ...operations })) {
  try {
    await test();
    passed += 1;
    console.log(`ok     ${name}`);
  } catch (error) {
    if (error instanceof Skipped) {
      skipped += 1;
      console.log(`skipped ${name}: ${error.message}`);
      continue;
    }
    failed += 1;
    console.log(`FAILED ${name}: ${error.stack}`);
  }
}
console.log(`${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`);
process.exitCode = failed ? 1 : 0;
