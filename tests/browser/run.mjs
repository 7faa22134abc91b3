// Runs the tests one after the other; the last line is `N passed, N failed`.
import { tests as end } from './end-to-end.mjs';
import { tests as script } from './script.mjs';
import { tests as keys } from './six-keys.mjs';

let [passed, failed] = [0, 0];
for (const [name, test] of Object.entries({ ...script, ...end, ...keys })) {
  try {
    await test();
    passed += 1;
    console.log(`ok     ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}: ${error.stack}`);
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
