// Hubot with ten listeners behind a web socket, which speaks the bare server's form: a message in, its reply out. Hubot
// comes without an adapter for web sockets; this one does nothing but hand texts on. Nothing is kept anywhere.
import { createServer } from "node:http";
import { Adapter, Robot, TextMessage, User } from "hubot";
import { WebSocketServer } from "ws";

class Sockets extends Adapter {
  async send(envelope, ...strings) {
    for (const content of strings) {
      envelope.user.socket.send(JSON.stringify({ type: "reply", content, session_id: envelope.room }));
    }
  }

  reply(envelope, ...strings) {
    return this.send(envelope, ...strings);
  }

  async run() {
    const server = createServer((_, answer) => answer.writeHead(404).end());
    const sockets = new WebSocketServer({ server, path: "/ws", perMessageDeflate: false });
    let number = 0;
    sockets.on("connection", (socket) => {
      number += 1;
      const user = new User(`u${number}`, { name: `u${number}`, socket });
      socket.on("message", (data) => {
        const said = JSON.parse(data.toString());
        user.room = said.session_id;
        this.receive(new TextMessage(user, said.content, said.id));
      });
    });
    const [host, port] = process.argv[2].split(":");
    server.listen(Number(port), host, () => {
      process.stdout.write(`hubot is at http://${host}:${server.address().port}\n`);
      this.emit("connected");
    });
  }
}

const robot = new Robot({ use: (robot) => new Sockets(robot) }, false, "hubot");
robot.logger.level = "warn";
await robot.loadAdapter();
for (let n = 0; n < 10; n += 1) {
  robot.hear(new RegExp(`^command ${n}$`), (response) => response.send(`reply ${n}`));
}
await robot.run();
