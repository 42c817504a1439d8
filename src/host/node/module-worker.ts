/**
 * Generates and compiles the interpreter's module, posts it, and ends. Making it leaves tens of megabytes of definitions and garbage behind, which go with
 * this thread, and takes a good half second, for which neither domain 0's services nor a vCPU has to wait.
 */
import { parentPort } from 'node:worker_threads';
import { processorModule } from '../../cpu/index.ts';

parentPort?.postMessage(processorModule());
