// Makes and lists stores with the code that keytool runs, on orders from the test: one line in, some lines and a dot out.
// Fields are separated by tabs; passwords and aliases travel as hex of their UTF-8.

import java.io.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.security.*;
import java.security.cert.Certificate;
import java.security.cert.*;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.*;
import javax.crypto.spec.SecretKeySpec;

public class Forms {
    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, "UTF-8");
        for (String line; (line = in.readLine()) != null; ) {
            String[] order = line.split("\t", -1);
            StringBuilder answer = new StringBuilder();
            try {
                switch (order[0]) {
                    case "make": make(order); break;
                    case "list": list(answer, order[1], Path.of(order[2]), text(order[3])); break;
                    case "read": read(answer, Path.of(order[1])); break;
                    default: throw new IllegalArgumentException(order[0]);
                }
            } catch (Throwable failure) {
                answer.setLength(0);
                answer.append("error\t").append(failure.toString().replaceAll("[\r\n\t]", " ")).append('\n');
            }
            out.print(answer.append(".\n"));
            out.flush();
        }
    }

    /** make, type, three algorithms of PKCS#12, path, password, then entries: k|alias|key|certificates, t|alias|certificate, s|alias. */
    static void make(String[] order) throws Exception {
        System.setProperty("keystore.pkcs12.certProtectionAlgorithm", order[2]);
        System.setProperty("keystore.pkcs12.keyProtectionAlgorithm", order[3]);
        System.setProperty("keystore.pkcs12.macAlgorithm", order[4]);
        System.setProperty("keystore.pkcs12.certPbeIterationCount", "500");
        System.setProperty("keystore.pkcs12.keyPbeIterationCount", "500");
        System.setProperty("keystore.pkcs12.macIterationCount", "500");
        System.setProperty("jdk.jceks.iterationCount", "10000");
        char[] password = text(order[6]).toCharArray();
        KeyStore store = KeyStore.getInstance(order[1]);
        store.load(null, null);
        for (String entry : Arrays.copyOfRange(order, 7, order.length)) {
            String[] part = entry.split("\\|");
            switch (part[0]) {
                case "k":
                    List<Certificate> chain = new ArrayList<>();
                    for (String one : part[3].split(",")) chain.add(certificate(one));
                    PrivateKey key = KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(Files.readAllBytes(Path.of(part[2]))));
                    store.setKeyEntry(text(part[1]), key, password, chain.toArray(new Certificate[0]));
                    break;
                case "t": store.setCertificateEntry(text(part[1]), certificate(part[2])); break;
                default: store.setKeyEntry(text(part[1]), new SecretKeySpec(new byte[16], "AES"), password, null);
            }
        }
        try (OutputStream out = Files.newOutputStream(Path.of(order[5]))) {
            store.store(out, password);
        }
    }

    static void list(StringBuilder out, String type, Path path, String password) throws Exception {
        KeyStore store = KeyStore.getInstance(type);
        try (InputStream in = Files.newInputStream(path)) {
            store.load(in, password.toCharArray());
        }
        for (String alias : Collections.list(store.aliases())) {
            String kind = store.isCertificateEntry(alias) ? "trusted" : "key";
            Certificate[] chain = store.getCertificateChain(alias);
            if (kind.equals("trusted")) chain = new Certificate[] {store.getCertificate(alias)};
            else if (chain == null) kind = "secret";
            out.append(kind).append('\t').append(hex(alias.getBytes(StandardCharsets.UTF_8)));
            if (chain != null) for (Certificate one : chain) describe(out, one);
            out.append('\n');
        }
    }

    static void read(StringBuilder out, Path path) throws Exception {
        try (InputStream in = new BufferedInputStream(Files.newInputStream(path))) {
            for (Certificate one : CertificateFactory.getInstance("X.509").generateCertificates(in)) {
                out.append("certificate\t");
                describe(out, one);
                out.append('\n');
            }
        }
    }

    /** Digest, serial number, and the validity in seconds since 1970. */
    static void describe(StringBuilder out, Certificate certificate) throws Exception {
        X509Certificate one = (X509Certificate) certificate;
        String digest = hex(MessageDigest.getInstance("SHA-256").digest(one.getEncoded()));
        out.append('\t').append(digest).append(' ').append(one.getSerialNumber().toString(16));
        out.append(' ').append(one.getNotBefore().getTime() / 1000).append(' ').append(one.getNotAfter().getTime() / 1000);
    }

    static Certificate certificate(String path) throws Exception {
        try (InputStream in = Files.newInputStream(Path.of(path))) {
            return CertificateFactory.getInstance("X.509").generateCertificate(in);
        }
    }

    static String hex(byte[] bytes) {
        StringBuilder out = new StringBuilder();
        for (byte one : bytes) out.append(String.format("%02x", one));
        return out.toString();
    }

    static String text(String hex) {
        byte[] bytes = new byte[hex.length() / 2];
        for (int at = 0; at < bytes.length; at++) bytes[at] = (byte) Integer.parseInt(hex.substring(2 * at, 2 * at + 2), 16);
        return new String(bytes, StandardCharsets.UTF_8);
    }
}
