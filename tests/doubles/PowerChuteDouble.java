import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.cert.Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import javax.crypto.Cipher;
import javax.crypto.spec.SecretKeySpec;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;

/**
 * A double of the PowerChute Serial Shutdown agent, not the product: it does only what the vendor's notice documents.
 *
 * <p>In its working directory: {@code keystore} holds its key under the alias {@code securekey}; {@code KS_Access_Data} in
 * the section {@code [Credentials]} of {@code pcssconfig.ini} is the store's password from now on; what it knows is kept
 * in {@code m11.cfg}, encrypted with AES-128; and without any of {@code pcssconfig.ini}, {@code pcssconfig_backup.ini},
 * {@code m11.cfg} and {@code m11.bak} it does not start.
 *
 * <p>Usage: {@code PowerChuteDouble PORT [--delete-credentials] [--while-pid PID]}. The first option removes the section
 * once it was read, as the product may do; the second ends the double with the process that wanted it.
 */
public final class PowerChuteDouble {
    private static final String ALIAS = "securekey";
    private static final Path STORE = Path.of("keystore");
    private static final Path INI = Path.of("pcssconfig.ini");
    private static final Path MEMORY = Path.of("m11.cfg");
    private static final List<String> NEEDED = List.of("pcssconfig.ini", "pcssconfig_backup.ini", "m11.cfg", "m11.bak");
    /** What the product and this double use until a password is set. Not a secret: it stands here. */
    private static final String FACTORY_PASSWORD = "factory-password";
    /** The product's key is built in as well; this one is only this double's. */
    private static final byte[] MEMORY_KEY = "powerchutedouble".getBytes(StandardCharsets.US_ASCII);

    public static void main(String[] args) throws Exception {
        int port = Integer.parseInt(args[0]);
        List<String> options = Arrays.asList(args).subList(1, args.length);
        for (String file : NEEDED) {
            if (!Files.isRegularFile(Path.of(file))) {
                refuse(file + " is missing; the agent does not start without it");
            }
        }
        String password = openStore();
        if (options.contains("--delete-credentials")) {
            Files.write(INI, withoutCredentials(Files.readAllLines(INI)));
        }
        int pid = options.indexOf("--while-pid");
        if (pid >= 0) {
            endWith(Long.parseLong(options.get(pid + 1)));
        }
        serve(port, password);
    }

    /** The password that opens the store; a new one from the INI file is put on a store that the remembered one opens. */
    private static String openStore() throws Exception {
        String wanted = credentials(Files.readAllLines(INI));
        String known = remembered();
        String password = wanted != null ? wanted : known;
        KeyStore store = tryOpen(password);
        if (store == null && wanted != null) {
            store = tryOpen(known);
            if (store != null) {
                changePassword(store, known, wanted);
            }
        }
        if (store == null) {
            refuse("the keystore does not open with the password that is set");
        }
        if (!store.isKeyEntry(ALIAS)) {
            refuse("the keystore has no key under the alias " + ALIAS);
        }
        remember(password);
        return password;
    }

    private static KeyStore tryOpen(String password) throws IOException {
        try {
            // Detects JKS and PKCS12 by content, whatever the file is called.
            return KeyStore.getInstance(STORE.toFile(), password.toCharArray());
        } catch (IOException | GeneralSecurityException e) {
            return null;
        }
    }

    private static void changePassword(KeyStore store, String from, String to) throws Exception {
        KeyStore changed = KeyStore.getInstance(store.getType());
        changed.load(null, null);
        for (String alias : java.util.Collections.list(store.aliases())) {
            if (store.isKeyEntry(alias)) {
                Certificate[] chain = store.getCertificateChain(alias);
                changed.setKeyEntry(alias, store.getKey(alias, from.toCharArray()), to.toCharArray(), chain);
            } else {
                changed.setCertificateEntry(alias, store.getCertificate(alias));
            }
        }
        File temporary = new File(STORE + ".new");
        try (OutputStream out = Files.newOutputStream(temporary.toPath())) {
            changed.store(out, to.toCharArray());
        }
        Files.move(temporary.toPath(), STORE, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
    }

    private static String credentials(List<String> ini) {
        boolean inside = false;
        for (String line : ini) {
            String text = line.strip();
            if (text.startsWith("[")) {
                inside = text.equalsIgnoreCase("[Credentials]");
            } else if (inside && text.indexOf('=') > 0 && text.substring(0, text.indexOf('=')).strip().equalsIgnoreCase("KS_Access_Data")) {
                return text.substring(text.indexOf('=') + 1).strip();
            }
        }
        return null;
    }

    private static List<String> withoutCredentials(List<String> ini) {
        List<String> kept = new ArrayList<>();
        boolean inside = false;
        for (String line : ini) {
            if (line.strip().startsWith("[")) {
                inside = line.strip().equalsIgnoreCase("[Credentials]");
            }
            if (!inside) {
                kept.add(line);
            }
        }
        return kept;
    }

    private static String remembered() throws Exception {
        String text = Files.readString(MEMORY).strip();
        if (text.isEmpty()) {
            return FACTORY_PASSWORD;
        }
        return new String(cipher(Cipher.DECRYPT_MODE).doFinal(Base64.getDecoder().decode(text)), StandardCharsets.UTF_8);
    }

    private static void remember(String password) throws Exception {
        byte[] sealed = cipher(Cipher.ENCRYPT_MODE).doFinal(password.getBytes(StandardCharsets.UTF_8));
        Files.writeString(MEMORY, Base64.getEncoder().encodeToString(sealed) + "\n");
    }

    private static Cipher cipher(int mode) throws GeneralSecurityException {
        Cipher cipher = Cipher.getInstance("AES/ECB/PKCS5Padding");
        cipher.init(mode, new SecretKeySpec(MEMORY_KEY, "AES"));
        return cipher;
    }

    private static void serve(int port, String password) throws Exception {
        KeyStore store = tryOpen(password);
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(onlyOwnKey(store, password), password.toCharArray());
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), null, null);
        HttpsServer server = HttpsServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 16);
        server.setHttpsConfigurator(new HttpsConfigurator(context));
        server.createContext("/logon", exchange -> {
            byte[] page = "<html><body><form id=\"loginForm\"></form></body></html>\n".getBytes(StandardCharsets.UTF_8);
            exchange.getResponseHeaders().set("Content-Type", "text/html; charset=utf-8");
            exchange.sendResponseHeaders(200, page.length);
            exchange.getResponseBody().write(page);
            exchange.close();
        });
        server.start();
        byte[] leaf = MessageDigest.getInstance("SHA-256").digest(store.getCertificate(ALIAS).getEncoded());
        System.out.println("listening on " + port + " with " + HexFormat.of().formatHex(leaf));
    }

    /** The alias decides which key is served, whatever else the store holds. */
    private static KeyStore onlyOwnKey(KeyStore store, String password) throws Exception {
        KeyStore own = KeyStore.getInstance("PKCS12");
        own.load(null, null);
        char[] secret = password.toCharArray();
        own.setKeyEntry(ALIAS, store.getKey(ALIAS, secret), secret, store.getCertificateChain(ALIAS));
        return own;
    }

    private static void endWith(long pid) {
        Thread watcher = new Thread(() -> {
            while (ProcessHandle.of(pid).map(ProcessHandle::isAlive).orElse(false)) {
                try {
                    Thread.sleep(500);
                } catch (InterruptedException e) {
                    return;
                }
            }
            Runtime.getRuntime().halt(0);
        });
        watcher.setDaemon(true);
        watcher.start();
    }

    private static void refuse(String why) {
        System.err.println("PowerChuteDouble: " + why);
        System.exit(1);
    }
}
