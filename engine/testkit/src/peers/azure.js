// The blob store of the test kit: azurite, which checks signatures, and the client of its maker.
//
// Arguments: the folder with node_modules, account, key. Says its port on standard output, then answers
// each line of standard input, `[action, arguments…]` in JSON, with the result in JSON, and ends when
// standard input does.

const { spawn } = require("node:child_process");
const path = require("node:path");
const readline = require("node:readline");

const [folder, account, key] = process.argv.slice(2);
const blob = require(path.join(folder, "node_modules/@azure/storage-blob"));

const main = path.join(folder, "node_modules/azurite/dist/src/blob/main.js");
const server = spawn(
  process.execPath,
  [main, "--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence",
    "--disableTelemetry", "--disableProductStyleUrl"],
  { env: { ...process.env, AZURITE_ACCOUNTS: `${account}:${key}` }, stdio: ["ignore", "pipe", "inherit"] },
);
process.on("exit", () => server.kill("SIGKILL"));
server.on("exit", () => process.exit(1));

const requests = [];
let credential, service;

function started(port) {
  credential = new blob.StorageSharedKeyCredential(account, key);
  const options = { userAgentOptions: { userAgentPrefix: "testkit" } };
  service = new blob.BlobServiceClient(`http://127.0.0.1:${port}/${account}`, credential, options);
  console.log(port);
}

let said = "";
let known = false;
server.stdout.on("data", (data) => {
  said += data;
  const lines = said.split("\n");
  said = lines.pop();
  for (const line of lines) {
    const port = /listens on http:\/\/127\.0\.0\.1:(\d+)/.exec(line);
    if (port && !known) {
      known = true;
      started(port[1]);
    }
    // As the access log of any server: address, user, time, request, status.
    const request = /"(\w+) (\S+) HTTP\/1\.1" (\d+)/.exec(line);
    if (request) requests.push(`${request[1]} ${request[2]} ${request[3]}`);
  }
});

async function answer([action, container, name, content, more]) {
  const client = service.getContainerClient(container);
  switch (action) {
    case "make":
      await client.create(name === "public" ? { access: "container" } : {});
      return null;
    case "put":
      await client.getBlockBlobClient(name).uploadData(Buffer.from(content, "base64"), { metadata: more });
      return null;
    case "get": {
      const found = client.getBlockBlobClient(name);
      const about = await found.getProperties();
      const bytes = await found.downloadToBuffer();
      const blocks = await found.getBlockList("all");
      return {
        content: bytes.toString("base64"), metadata: about.metadata, type: about.contentType,
        blocks: (blocks.committedBlocks || []).length,
      };
    }
    case "keys": {
      const keys = [];
      for await (const item of client.listBlobsFlat()) keys.push(item.name);
      return keys;
    }
    case "share": {
      const permissions = blob.ContainerSASPermissions.parse(name);
      const expiresOn = new Date(Date.now() + 3600_000);
      return blob.generateBlobSASQueryParameters(
        { containerName: container, permissions, expiresOn }, credential).toString();
    }
    case "requests":
      return requests;
    default:
      throw new Error(`no such action: ${action}`);
  }
}

const input = readline.createInterface({ input: process.stdin });
let last = Promise.resolve();
input.on("line", (line) => {
  last = last.then(async () => {
    try {
      console.log(JSON.stringify(await answer(JSON.parse(line))));
    } catch (error) {
      console.log(JSON.stringify({ error: String(error.message || error) }));
    }
  });
});
input.on("close", () => process.exit(0));
