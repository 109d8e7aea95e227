// The request of a form as a curl line that can be pasted.

import { shellQuote } from './format.js';

/** @param files [{name, file}] parts; file is the name a person has it under */
export function curl({ model, parameters, files }) {
  const parts = [`model=${model}`, ...files.map((f) => `${f.name}=@${f.file}`)];
  if (Object.keys(parameters).length > 0) parts.push(`parameters=${JSON.stringify(parameters)}`);
  const key = sessionStorage.getItem('myelin-key') ? ' \\\n  -H "Authorization: Bearer $MYELIN_API_KEY"' : '';
  return `curl -s '${location.origin}/v1/jobs?wait=30s'${key} \\\n  ${parts.map((p) => `-F ${shellQuote(p)}`).join(' \\\n  ')}`;
}
