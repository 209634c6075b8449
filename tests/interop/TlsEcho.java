// RabbitMQ's Java client sends itself a message over TLS.

import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultSaslConfig;
import java.io.FileInputStream;
import java.security.KeyStore;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class TlsEcho {
    public static void main(String[] given) throws Exception {
        char[] password = "secret".toCharArray();
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(store(given[1], password));
        KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
        keys.init(store(given[2], password), password);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        ConnectionFactory factory = new ConnectionFactory();
        factory.setHost("localhost");
        factory.setPort(Integer.parseInt(given[0]));
        factory.useSslProtocol(context);
        if (given[3].equals("EXTERNAL")) {
            factory.setSaslConfig(DefaultSaslConfig.EXTERNAL);
        }
        try (Connection connection = factory.newConnection()) {
            Channel channel = connection.createChannel();
            channel.confirmSelect();
            String queue = channel.queueDeclare().getQueue();
            channel.basicPublish("", queue, null, "hello".getBytes());
            channel.waitForConfirmsOrDie(10_000);
            System.out.println("echo: " + new String(channel.basicGet(queue, true).getBody()));
        }
    }

    private static KeyStore store(String path, char[] password) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (FileInputStream file = new FileInputStream(path)) {
            store.load(file, password);
        }
        return store;
    }
}
