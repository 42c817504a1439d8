/**
 * Generates and compiles the interpreter's module, posts it, and ends. Making it leaves tens of megabytes of definitions and garbage behind, which go with
 * this thread, and takes a good half second, for which neither domain 0's services nor a vCPU has to wait. `XENOLITH_NAMES` in the environment keeps the names of its
 * functions, for profilers.
 */
import { parentPort } from 'node:worker_threads';
import { processorModule } from '../../cpu/index.ts';

parentPort?.postMessage(processorModule({ named: process.env['XENOLITH_NAMES'] !== undefined }));
