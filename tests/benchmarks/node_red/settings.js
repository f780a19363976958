// Node-RED as it comes, without its editor: what the flow needs beside it stands in its global context.
module.exports = {
  httpAdminRoot: false,
  httpNodeRoot: false,
  flowFile: process.env.FLOW,
  logging: { console: { level: "info", metrics: false, audit: false } },
  functionGlobalContext: {
    crypto: require("crypto"),
    process: process,
    keys: require(process.env.KEYS), // device id to key, both hexadecimal
    count: Number(process.env.COUNT),
  },
};
