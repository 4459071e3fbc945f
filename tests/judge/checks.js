// What the JavaScript judges share: checks against one simulated server, one line each. See checks.py for JUDGE_SERVER.

import assert from 'node:assert/strict';

const facts = JSON.parse(process.env.JUDGE_SERVER);

/** The simulated server that is judged. */
export const server = {
  ...facts,
  url: facts.url.replace(/\/$/, ''),
  plexTv: (facts.plexTv ?? '').replace(/\/$/, ''),
  admin: facts.users.find((user) => user.admin),
  others: facts.users.filter((user) => !user.admin),
};

/** Returns `that(sentence, check)`, which runs a check, prints one line about it and remembers a failure. */
export function checks(judge) {
  return async (sentence, check) => {
    const line = `${judge} on ${server.slug}: ${sentence}`;
    try {
      await check();
      console.log(`ok   ${line}`);
    } catch (error) {
      process.exitCode = 1;
      const body = error.response?.data ? ` ${JSON.stringify(error.response.data).slice(0, 300)}` : '';
      console.log(`FAIL ${line}\n     ${String(error.stack ?? error).split('\n').slice(0, 4).join(' | ')}${body}`);
    }
  };
}

export { assert };
