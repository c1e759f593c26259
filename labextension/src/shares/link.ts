/** Where a shared environment opens, and how to reach it from another machine's browser. */

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/** What a browser on another machine needs to open a loopback address. */
export interface ITunnel {
  /** To be run on the machine where the browser is. */
  command: string;
}

/** Whether an address works only on the machine that answers it. */
export function isLoopback(host: string): boolean {
  return LOOPBACK.test(host);
}

/** The tunnel to a loopback address; null for one that any machine can open. */
export function tunnelTo(url: string, here: string): ITunnel | null {
  const { hostname, port } = new URL(url);
  if (!isLoopback(hostname)) {
    return null;
  }
  const host = isLoopback(here) ? 'USER@HOST' : here;
  return { command: `ssh -N -L ${port}:${hostname}:${port} ${host}` };
}
